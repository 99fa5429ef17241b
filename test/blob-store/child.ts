/**
 * A process of its own for the suites beside: `count <store> <key> <times>` adds to a number by compare-and-swap,
 * `hang <store> <key>` begins a blob and never ends it, `six <store> <bytes>` writes six blobs at once and prints its
 * peak memory.
 */
import { Readable } from 'node:stream';
import type { BlobStore } from '../../src/blob-store/blob-store.ts';
import { openBlobStore } from '../../src/blob-store/open.ts';
import { asPut, signingSecret } from './stores.ts';

const [task, url = '', subject = '', times = '0'] = process.argv.slice(2);
const store = openBlobStore(url, { environment: process.env, signingSecret });
const tasks: Record<string, () => Promise<void>> = {
  count: () => count(store, subject, Number(times)),
  hang: () => hang(store, subject),
  six: () => six(store, Number(subject)),
};
await tasks[task ?? '']?.();
await store.close();

async function count(store: BlobStore, key: string, times: number): Promise<void> {
  for (let added = 0; added < times;) {
    const read = await store.readSmall(key);
    const sum = read === null ? 0 : Number(Buffer.from(read.body).toString());
    const body = Buffer.from(String(sum + 1));
    const outcome = await store.replaceSmall(key, body, 'text/plain', read?.version ?? null);
    if (outcome === 'switched') added += 1;
  }
}

async function hang(store: BlobStore, key: string): Promise<void> {
  const source = new Readable({ read: () => undefined });
  source.push(Buffer.alloc(6 * 1024 * 1024, 1));
  setInterval(() => console.log('writing'), 50);
  await store.put(key, source, asPut());
}

async function six(store: BlobStore, bytes: number): Promise<void> {
  const one = async (name: string): Promise<void> => {
    let left = bytes;
    const source = new Readable({
      highWaterMark: 1024 * 1024,
      read() {
        const piece = Buffer.alloc(Math.min(64 * 1024, left), left % 251);
        left -= piece.length;
        this.push(piece.length === 0 ? null : piece);
      },
    });
    await store.put(name, source, asPut(bytes));
  };
  await Promise.all(['a', 'b', 'c', 'd', 'e', 'f'].map(one));
  console.log(`peak ${process.resourceUsage().maxRSS}`);
}
