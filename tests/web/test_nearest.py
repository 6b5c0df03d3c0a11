"""What a mistyped path may have meant."""

import pytest

from portal.web.nearest import names_no_id, nearest

ROUTES = [
    ("/healthz", {"GET"}),
    ("/api/v1/files", {"GET"}),
    ("/api/v1/files", {"POST"}),
    ("/api/v1/files/{file_id}", {"GET", "HEAD"}),
    ("/api/v1/files/{file_id}/content", {"GET"}),
    ("/api/v1/upload/{filename:path}", {"PUT"}),
    ("/api/v1/shared/upload/{filename:path}", {"PUT"}),
]
UPLOAD = "PUT /api/v1/upload/{filename}"


@pytest.mark.parametrize(
    ("method", "path", "meant"),
    [
        ("PUT", "/api/v1/upload", UPLOAD),
        ("PUT", "/api/v1/upload/", UPLOAD),
        ("PUT", "/api/v1/uploads/disk.img", UPLOAD),
        ("PUT", "/api/v1/uplaod/disk.img", UPLOAD),
        ("POST", "/api/v1/files/", "POST /api/v1/files"),
        ("POST", "/api/v1/file", "POST /api/v1/files"),
        ("GET", "/api/v1/file", "GET /api/v1/files"),
        ("GET", "/api/v1/Files", "GET /api/v1/files"),
        ("GET", "/api/v1/files/", "GET /api/v1/files/{file_id}"),
        ("GET", "/api/v1/file/1", "GET /api/v1/files/{file_id}"),
        ("GET", "/api/v1/files/1/contents", "GET /api/v1/files/{file_id}/content"),
        ("GET", "/health", "GET /healthz"),
        ("GET", "/api/v2/files", None),
        ("PUT", "/api/v1/files", None),
        ("GET", "/", None),
        ("GET", "", None),
        ("PUT", "/somewhere/else/altogether", None),
        ("PUT", "/api/v1/upload" + "/" * 10_000, None),
        ("GET", "/" + "x" * 10_000, None),
    ],
)
def test_the_route_that_is_nearest_is_named_or_none(method: str, path: str, meant: str | None) -> None:
    assert nearest(ROUTES, method, path) == meant


def test_where_there_is_no_route_nothing_is_meant() -> None:
    assert nearest([], "GET", "/a") is None


IDS = ["/files", "/files/{file_id:uuid}", "/files/{file_id:uuid}/grants/{user_id:uuid}", "/upload/{filename:path}"]


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("/files/42", True),
        ("/files/42/grants/me", True),
        ("/files/", False),
        ("/files/42/", False),
        ("/files/42/grants", False),
        ("/file/42", False),
        ("/upload/42", False),
        ("/files", False),
    ],
)
def test_an_id_that_is_none_is_told_from_a_mistyped_path(path: str, told: bool) -> None:
    assert names_no_id(IDS, path) is told
