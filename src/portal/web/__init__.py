"""HTTP plumbing for every feature: errors, middleware, rate limits, bodies, multipart, streaming, conditional requests,
the OpenAPI document.

It imports no feature. All middleware is pure ASGI: with Starlette's BaseHTTPMiddleware, a download that broke off would
look complete to the client.
"""

API = "/api/v1"  # the prefix of every feature's routes
