/** What `doctor` examines of the blobs: the store by every kind of operation, and the public URL by a blob put there. */
import { randomBytes } from 'node:crypto';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import type { AppContext } from '../../app/context.ts';
import { checkBlobStore } from '../../app/readiness.ts';
import type { BlobStore } from '../../blob-store/blob-store.ts';
import { probeConditionalWrites } from '../../blob-store/conditions.ts';
import { DumperError } from '../../errors.ts';
import { publicPrefix } from '../../manifest.ts';
import type { Examination } from './examination.ts';

const blobStore = 'blob store';

export function examinationsOfBlobs({ config, store }: AppContext): Examination[] {
  const noStore = store === null ? 'DUMPER_BLOB_STORE is not set: nothing can be published' : null;
  const base = config.DUMPER_PUBLIC_BLOB_URL;
  return [
    {
      subject: blobStore,
      examine: (signal) =>
        withProbe(store, '.doctor/', signal, (probe) => examineStore(store, probe, signal)),
      advice:
        'check DUMPER_BLOB_STORE, AWS_ENDPOINT_URL_S3 and the credentials: put, get, list and delete are needed, and ETags that no proxy changes',
      leftOut: noStore,
    },
    {
      subject: 'public blob URL',
      examine: (signal) =>
        withProbe(store, `${publicPrefix}.doctor/`, signal, (probe) =>
          readThrough(base ?? '', probe, signal),
        ),
      advice:
        'check DUMPER_PUBLIC_BLOB_URL from here and from outside: anyone must be able to read what lies below public/ in the store through it; for a directory the service must run',
      leftOut: base === undefined ? 'DUMPER_PUBLIC_BLOB_URL is not set: every redirect is signed' : noStore,
      needs: [blobStore],
    },
  ];
}

interface Probe {
  readonly key: string;
  readonly body: Buffer;
}

/** Put an object of random bytes, use it, delete it. */
async function withProbe(
  store: BlobStore | null,
  prefix: string,
  signal: AbortSignal,
  use: (probe: Probe) => Promise<string>,
): Promise<string> {
  if (store === null) throw new DumperError('CONFIGURATION', 'DUMPER_BLOB_STORE is not set');
  const probe = { key: `${prefix}${randomBytes(8).toString('hex')}`, body: randomBytes(1024) };
  await checkBlobStore(store);
  try {
    // An answer that is lost leaves the object there all the same.
    await store.put(probe.key, Readable.from([probe.body]), {
      contentType: 'application/octet-stream',
      contentDisposition: 'attachment',
      cacheControl: 'private, no-store',
      expectedBytes: probe.body.length,
      signal,
    });
    return await use(probe);
  } finally {
    await store.delete([probe.key]);
  }
}

async function examineStore(
  store: BlobStore | null,
  { key, body }: Probe,
  signal: AbortSignal,
): Promise<string> {
  if (store === null) throw new DumperError('CONFIGURATION', 'DUMPER_BLOB_STORE is not set');
  const source = await store.read(key, signal);
  const same = source !== null && (await buffer(source)).equals(body);
  if (!same) throw new DumperError('BLOB_CORRUPT', 'what was read is not what was written');
  const conditions =
    (await probeConditionalWrites(store)) === 'hold'
      ? 'conditional writes hold'
      : 'conditional writes are ignored, so the fence in the state database alone keeps publications apart';
  return `${store.kind}: an object was written, read and deleted; ${conditions}`;
}

async function readThrough(base: string, { key, body }: Probe, signal: AbortSignal): Promise<string> {
  const response = await fetch(`${base}/${key}`, { signal });
  const read = Buffer.from(await response.arrayBuffer());
  if (!response.ok) {
    const fault = `it answers ${response.status} for a blob that lies there`;
    throw new DumperError('CONFIGURATION', `${fault}: redirects would lead nowhere`);
  }
  if (!read.equals(body)) {
    throw new DumperError(
      'CONFIGURATION',
      'it answers with other bytes than those of the blob that lies there',
    );
  }
  return 'a blob was put there and read back through it';
}
