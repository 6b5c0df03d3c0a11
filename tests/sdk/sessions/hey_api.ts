// A whole session by @hey-api/openapi-ts. Arguments: the portal's URL, a name, a password.
import assert from 'node:assert/strict';
import { client } from './portal_client/client.gen.js';
import {
  createToken, deleteFile, downloadFile, listFiles, createCase, readFile, uploadFile, uploadRaw,
} from './portal_client/index.js';

const [url, username, password] = process.argv.slice(2);
const content = new Uint8Array(10240).map((_, index) => index % 256);
const blob = new Blob([content]);
const ok = { throwOnError: true } as const;

client.setConfig({ baseUrl: url });
const { data: signedIn } = await createToken({ ...ok, body: { grant_type: 'password', username, password } });
client.setConfig({ auth: () => signedIn.access_token }); // it is asked for each scheme: the token goes out twice

const { data: sent } = await uploadFile({ ...ok, body: { file: new File([blob], 'by form.bin') } });
const { data: opened } = await createCase({ ...ok, body: { title: 'A case' } });
const { data: inCase } = await uploadFile({
  ...ok, body: { file: new File([blob], 'of case.bin'), description: 'as evidence' }, query: { case_id: opened.id },
});
assert.equal(inCase.case_id, opened.id);
const { data: raw } = await uploadRaw({ ...ok, path: { filename: 'raw.bin' }, body: blob });
assert.deepEqual([raw.size, raw.sha256], [content.length, sent.sha256]);

const { data: page } = await listFiles({ ...ok, query: { limit: 3 } });
assert.deepEqual(page.items.map((file) => file.id), [raw.id, inCase.id, sent.id]);
const { data: read } = await readFile({ ...ok, path: { file_id: raw.id } });
assert.equal(read.name, 'raw.bin');
const whole = await downloadFile({ ...ok, path: { file_id: raw.id }, parseAs: 'blob' });
assert.deepEqual(new Uint8Array(await (whole.data as Blob).arrayBuffer()), content);
const part = await downloadFile({
  ...ok, path: { file_id: raw.id }, headers: { Range: 'bytes=10-19' }, parseAs: 'arrayBuffer',
});
assert.equal(part.response.status, 206);
assert.deepEqual(new Uint8Array(part.data as unknown as ArrayBuffer), content.slice(10, 20));

const path = { file_id: raw.id };
const stale = await deleteFile({ path, headers: { 'If-Match': `"${read.version + 1}"` } });
assert.equal(stale.error?.code, 'precondition_failed');
const deleted = await deleteFile({ path, headers: { 'If-Match': `"${read.version}"` } });
assert.equal(deleted.response?.status, 204);
const gone = await readFile({ path });
assert.deepEqual([gone.error?.status, gone.error?.code], [404, 'not_found']);
console.log('played');
