"""The HTTP service and its page: `facebank serve` (extra ``serve``).

`application.make_app` joins the parts. A request passes `access` (who asks, from where, how often) and `limits` (its
size) and reaches a route of `api`, of `compreface` or of `page`; what takes long is done by `work`, beside the event
loop, with the one `facebank.FaceBank` of the process. Routes hold no logic of their own: what they answer is what the
library says, as `facebank.schemas.records` writes it. Errors become problem details in `problems`.
"""
