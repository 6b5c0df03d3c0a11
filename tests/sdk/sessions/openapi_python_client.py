"""A whole session by openapi-python-client. Arguments: the portal's URL, a name, a password."""

import sys
from io import BytesIO

from portal_client import AuthenticatedClient, Client
from portal_client.api.auth import create_token
from portal_client.api.cases import create_case
from portal_client.api.files import delete_file, download_file, list_files, read_file, upload_file, upload_raw
from portal_client.models import CaseCreate, CaseOut, FileOut, FilePage, Problem, TokenOut, UploadFileBody
from portal_client.models.token_request import TokenRequest
from portal_client.models.token_request_grant_type import TokenRequestGrantType
from portal_client.types import File

url, name, password = sys.argv[1:]
content = bytes(range(256)) * 40

form = TokenRequest(grant_type=TokenRequestGrantType.PASSWORD, username=name, password=password)
signed_in = create_token.sync(client=Client(url), body=form)
assert isinstance(signed_in, TokenOut), signed_in
client = AuthenticatedClient(url, token=signed_in.access_token)

sent = upload_file.sync(client=client, body=UploadFileBody(file=File(BytesIO(content), "by form.bin")))
assert isinstance(sent, FileOut), sent
case = create_case.sync(client=client, body=CaseCreate(title="A case"))
assert isinstance(case, CaseOut), case
body = UploadFileBody(file=File(BytesIO(content), "of case.bin"), description="as evidence")
in_case = upload_file.sync(client=client, body=body, case_id=case.id)
assert isinstance(in_case, FileOut), in_case
assert in_case.case_id == case.id
raw = upload_raw.sync("raw.bin", client=client, body=File(BytesIO(content)))
assert isinstance(raw, FileOut), raw
assert (raw.size, raw.sha256) == (len(content), sent.sha256)

page = list_files.sync(client=client, limit=3)
assert isinstance(page, FilePage), page
assert [file.id for file in page.items] == [raw.id, in_case.id, sent.id]
read = read_file.sync(raw.id, client=client)
assert isinstance(read, FileOut), read
assert read.name == "raw.bin"
whole = download_file.sync(raw.id, client=client)
assert isinstance(whole, File), whole
assert whole.payload.read() == content
part = download_file.sync_detailed(raw.id, client=client, range_="bytes=10-19")
assert (part.status_code, part.content) == (206, content[10:20])

stale = delete_file.sync(raw.id, client=client, if_match=f'"{read.version + 1}"')
assert isinstance(stale, Problem), stale
assert stale.code == "precondition_failed"
assert delete_file.sync_detailed(raw.id, client=client, if_match=f'"{read.version}"').status_code == 204
gone = read_file.sync(raw.id, client=client)
assert isinstance(gone, Problem), gone
assert (gone.status, gone.code) == (404, "not_found")
print("played")
