"""The HTTP routes of the files feature: routes, bodies, responses and their OpenAPI text."""
