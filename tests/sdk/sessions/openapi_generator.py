"""A whole session by openapi-generator's python. Arguments: the portal's URL, a name, a password."""

import sys

from portal_client import ApiClient, AuthApi, CaseCreate, CasesApi, Configuration, FilesApi
from portal_client.exceptions import ApiException, NotFoundException

url, name, password = sys.argv[1:]
content = bytes(range(256)) * 40

with ApiClient(Configuration(host=url)) as anonymous:
    signed_in = AuthApi(anonymous).create_token(grant_type="password", username=name, password=password)
with ApiClient(Configuration(host=url, access_token=signed_in.access_token)) as client:
    files = FilesApi(client)
    sent = files.upload_file(("by form.bin", content))
    case = CasesApi(client).create_case(CaseCreate(title="A case"))
    in_case = files.upload_file(("of case.bin", content), case_id=case.id, description="as evidence")
    assert in_case.case_id == case.id
    raw = files.upload_raw("raw.bin", content)
    assert (raw.size, raw.sha256) == (len(content), sent.sha256)

    assert [file.id for file in files.list_files(limit=3).items] == [raw.id, in_case.id, sent.id]
    read = files.read_file(raw.id)
    assert read.name == "raw.bin"
    assert files.download_file(raw.id) == content
    part = files.download_file_with_http_info(raw.id, range="bytes=10-19")
    assert (part.status_code, part.raw_data) == (206, content[10:20])

    try:
        files.delete_file(raw.id, f'"{read.version + 1}"')
    except ApiException as error:
        assert (error.status, error.data.code) == (412, "precondition_failed")
    else:
        raise AssertionError("deleted by another version")
    files.delete_file(raw.id, f'"{read.version}"')
    try:
        files.read_file(raw.id)
    except NotFoundException as error:
        assert error.data.code == "not_found"
    else:
        raise AssertionError("still there")
print("played")
