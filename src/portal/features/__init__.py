"""What the portal does. Inside each feature: routes > deps > service(s) > repository > models (+ schemas).

Services decide and remember, and speak no HTTP; repositories hold the statements; table rows never leave a service.
"""
