"""HTTP/1.1 on asyncio's protocols, for messages of the ordinary form; what is not goes to aiohttp."""
