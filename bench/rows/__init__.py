"""The operations behind the rows: which of them are measured together, and how each is made ready."""

from functools import partial

from bench.rows import cold, crowds, downloads, forms, growth, memory, ranges, reencrypt, requests, uploads
from bench.rows.base import Job

JOBS = (
    Job(("upload_256m",), partial(uploads.prepare, which="large")),
    Job(("upload_1g", "cpu_1g"), partial(uploads.prepare, which="huge")),
    Job(("download_256m",), partial(downloads.prepare, which="large")),
    Job(("download_1g",), partial(downloads.prepare, which="huge")),
    Job(("first_download_256m",), cold.prepare_first),
    Job(("cold_download_256m",), cold.prepare_cold),
    Job(("range_64k",), ranges.prepare),
    Job(("memory_256m",), partial(memory.prepare, which="large")),
    Job(("memory_4g",), partial(memory.prepare, which="giant")),
    Job(("memory_download",), partial(memory.prepare_download, which="huge")),
    Job(("parallel_16",), crowds.prepare_parallel),
    Job(("small_4k",), crowds.prepare_small),
    Job(("multipart_256m",), forms.prepare),
    Job(("reencrypt_256m",), reencrypt.prepare),
    Job(("cpu_entry", "cpu_list", "cpu_range", "cpu_small"), requests.prepare),
    Job(("list_growth",), growth.prepare),
)
