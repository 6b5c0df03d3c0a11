// A whole session by openapi-generator's typescript-fetch. Arguments: the portal's URL, a name, a password.
import assert from 'node:assert/strict';
import { AuthApi, CasesApi, Configuration, FilesApi, ResponseError, type Problem } from './portal_client/index.js';

const [basePath, username, password] = process.argv.slice(2);
const content = new Uint8Array(10240).map((_, index) => index % 256);
const blob = new Blob([content]);

const auth = new AuthApi(new Configuration({ basePath }));
const signedIn = await auth.createToken({ grantType: 'password', username, password });
const configuration = new Configuration({ basePath, accessToken: signedIn.accessToken });
const files = new FilesApi(configuration);

const sent = await files.uploadFile({ file: new File([blob], 'by form.bin') });
const opened = await new CasesApi(configuration).createCase({ caseCreate: { title: 'A case' } });
const inCase = await files.uploadFile({
  file: new File([blob], 'of case.bin'), caseId: opened.id, description: 'as evidence',
});
assert.equal(inCase.caseId, opened.id);
const raw = await files.uploadRaw({ filename: 'raw.bin', body: blob });
assert.deepEqual([raw.size, raw.sha256], [content.length, sent.sha256]);

const page = await files.listFiles({ limit: 3 });
assert.deepEqual(page.items.map((file) => file.id), [raw.id, inCase.id, sent.id]);
const read = await files.readFile({ fileId: raw.id });
assert.equal(read.name, 'raw.bin');
const whole = await files.downloadFile({ fileId: raw.id });
assert.deepEqual(new Uint8Array(await whole.arrayBuffer()), content);
const part = await files.downloadFileRaw({ fileId: raw.id, range: 'bytes=10-19' });
assert.equal(part.raw.status, 206);
assert.deepEqual(new Uint8Array(await (await part.value()).arrayBuffer()), content.slice(10, 20));

async function refused(work: Promise<unknown>): Promise<Problem> {
  try {
    await work;
  } catch (error) {
    if (error instanceof ResponseError) return (await error.response.json()) as Problem;
    throw error;
  }
  throw new Error('it was not refused');
}
const stale = await refused(files.deleteFile({ fileId: raw.id, ifMatch: `"${read.version + 1}"` }));
assert.equal(stale.code, 'precondition_failed');
await files.deleteFile({ fileId: raw.id, ifMatch: `"${read.version}"` });
assert.equal((await refused(files.readFile({ fileId: raw.id }))).code, 'not_found');
console.log('played');
