"""The dialects of model endpoints: what each says in a stream and in a body."""
