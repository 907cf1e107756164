"""The HTTP service and its page: ``facebank serve`` (extra ``serve``).

`application.make_app` assembles the parts. A request passes `access` (keys, origins, rate limits) and `limits` (size
and time) to a route of `api`, `compreface` or `page`. Slow functions run in the threads of `pool` with the one
`facebank.FaceBank` of the process. Routes have no logic: they return the library's results as records of
`facebank.schemas.records`. `problems` converts errors to problem details.
"""
