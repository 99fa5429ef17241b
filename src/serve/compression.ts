/**
 * Compression of a live answer on its way, where `DUMPER_COMPRESS=on` and the caller accepts it: zstd at level 3, else
 * gzip at level 1, the levels that pay. The first piece is flushed at once, so that the first byte waits for nothing;
 * the work is done on Node's thread pool. Without the body's compression the bytes are CKAN's all the same (promise P22).
 */
import { constants, createGzip, createZstdCompress, type Gzip, type ZstdCompress } from 'node:zlib';

export type Encoding = 'zstd' | 'gzip';
export type Encoder = Gzip | ZstdCompress;

/** The best that `Accept-Encoding` names with a weight above zero; null: the bytes as they are. */
export function encodingFor(accepted: string): Encoding | null {
  const weights = new Map(
    accepted.split(',').map((part) => {
      const [name = '', ...parameters] = part
        .toLowerCase()
        .split(';')
        .map((piece) => piece.trim());
      const weight = parameters.find((parameter) => parameter.startsWith('q='))?.slice(2);
      return [name, weight === undefined ? 1 : Number(weight)] as const;
    }),
  );
  const isAccepted = (name: Encoding): boolean => (weights.get(name) ?? 0) > 0;
  if (isAccepted('zstd')) return 'zstd';
  return isAccepted('gzip') ? 'gzip' : null;
}

export function createEncoder(encoding: Encoding): Encoder {
  if (encoding === 'gzip') return createGzip({ level: 1, chunkSize: 64 * 1024 });
  return createZstdCompress({
    chunkSize: 64 * 1024,
    params: { [constants.ZSTD_c_compressionLevel]: 3 },
  });
}
