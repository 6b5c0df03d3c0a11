"""A tiny app that takes a file as the portal must not: as an UploadFile, which is put into a temporary file in clear.

`test_plaintext.py` serves it, to see that its watch finds this.
"""

from fastapi import FastAPI, UploadFile

app = FastAPI()


@app.post("/files", status_code=201)
async def upload(file: UploadFile) -> int:
    return len(await file.read())
