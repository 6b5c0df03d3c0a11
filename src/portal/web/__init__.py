"""HTTP plumbing any feature may use: errors, middleware, bodies, multipart, streaming, conditions, documents, health.

Knows no feature. Pure ASGI throughout: Starlette's BaseHTTPMiddleware would turn a download that broke in the middle
into one that ended well.
"""

API = "/api/v1"  # where every feature's routes stand
