"""HTTP plumbing any feature may use: errors, middleware, limits, bodies, multipart, streaming, conditions, documents, …

Knows no feature. Pure ASGI throughout: Starlette's BaseHTTPMiddleware would turn a download that broke in the middle
into one that ended well.
"""

API = "/api/v1"  # where every feature's routes stand
