"""Texts that run, break out or mislead where a page does not make them harmless."""

RUN = "window.pwned=1"

ATTACKS = {
    "script": f"</script><script>{RUN}</script>",
    "comment": f"<!--/siblings--><img src=x onerror={RUN}> --><!--siblings-->",
    "attribute": f'" onmouseover="{RUN}" autofocus onfocus="{RUN}" x="',
    "single": f"' onfocus='{RUN}' autofocus tabindex='1",
    "svg": f"</title></text></svg><svg onload={RUN}><animate onbegin={RUN}>",
    "style": "</style><style>body{display:none}</style><link rel=stylesheet href=//x.invalid>",
    "template": "{{ 7*7 }}{% raw %}${7*7}",
    "link": f"[x](javascript:{RUN}) <a href=javascript:{RUN}>javascript:{RUN}</a>",
    "terminal": f"\x1b]8;;javascript:{RUN}\x07link\x1b]8;;\x07\x1b[31m\x9b2J\x00\x7f",
    "bidi": "a\u202eevil\u202c\u2066b\u2069\u200b\ufeff\u2028\u2029\U000e0041",
    "json": '\\"}]}</script>,"__proto__":{"x":1}',
    "shell": "'; touch pwned; '\"$(touch pwned)`touch pwned`\n#",
    "markdown": f"]](javascript:{RUN}) **x** ![y](http://x.invalid/z.png) <img src=x onerror={RUN}>",
    "meta": "<base href=//x.invalid/><meta http-equiv=refresh content='0;url=//x.invalid'>",
    "frame": "<iframe srcdoc='<script>parent.pwned=1</script>'></iframe><form action=//x.invalid>",
    "textarea": f"</pre></textarea></details><noscript><p title='</noscript><img src=x onerror={RUN}>'>",
}
