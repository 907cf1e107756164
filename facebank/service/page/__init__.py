"""The family page: HTML rendered by the service, one module per subject, with plain JavaScript modules in ``static``.

All changes are sent by these scripts, with the CSRF token that `facebank.service.access` gives each caller.
`memory.PageMemory` caches what is too slow to compute for each request.
"""
