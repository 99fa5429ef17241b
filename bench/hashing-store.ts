/** A blob store that only counts: what the way out costs without any store. Bytes were hashed on their way here. */
import type { BlobSource, BlobStore } from '../src/blob-store/blob-store.ts';

export function hashingStore(): BlobStore {
  const sizes = new Map<string, number>();
  const nothing = async (): Promise<null> => null;
  return {
    kind: 'directory',
    put: async (key: string, source: BlobSource) => {
      let bytes = 0;
      for await (const chunk of source) bytes += chunk.length;
      sizes.set(key, bytes);
    },
    read: nothing,
    head: async (key) => ({
      bytes: sizes.get(key) ?? 0,
      contentType: '',
      contentDisposition: '',
      modifiedAt: new Date(),
    }),
    readSmall: nothing,
    replaceSmall: async () => 'switched',
    list: async function* list() {},
    delete: async () => undefined,
    abortUnfinished: async () => 0,
    signedUrl: async (key) => key,
    check: async () => undefined,
    close: async () => undefined,
  };
}
