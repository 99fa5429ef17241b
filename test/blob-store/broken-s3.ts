/** A real S3 server behind a double and a proxy that break the link on demand; a fresh store for each test. */
import { Readable } from 'node:stream';
import { afterAll, afterEach, beforeAll, beforeEach, expect } from 'vitest';
import type { BlobStore } from '../../src/blob-store/blob-store.ts';
import { openBlobStore, type OpenOptions } from '../../src/blob-store/open.ts';
import { startFaultProxy, type FaultProxy } from '../world/fault-proxy.ts';
import { startS3Faults, type S3FaultServer } from '../world/s3-faults.ts';
import { startS3, type S3Server } from '../world/s3.ts';
import { bytesOf, keysOf, soon } from './stores.ts';

export interface BrokenS3 {
  readonly server: S3Server;
  readonly double: S3FaultServer;
  readonly proxy: FaultProxy;
  /** Of this test, reached through proxy and double. */
  readonly store: BlobStore;
  /** Another store of the same bucket, reached the same way, with short deadlines unless told otherwise. */
  open(prefix: string, options?: OpenOptions, environment?: Record<string, string>): BlobStore;
}

/** Call it once at the head of a suite; what it returns is filled before each test, and nothing is left after. */
export function useBrokenS3(): BrokenS3 {
  let started: S3Server | { skipped: string };
  let bucket = '';
  const world = {} as { -readonly [Part in keyof BrokenS3]: BrokenS3[Part] };
  world.open = (prefix, options = {}, environment = {}) =>
    openBlobStore(`s3://${bucket}/${prefix}`, {
      environment: { ...world.server.environment, AWS_ENDPOINT_URL_S3: world.proxy.url, ...environment },
      answerSeconds: 3,
      connectSeconds: 1,
      idleSeconds: 2,
      ...options,
    });
  beforeAll(async () => {
    started = await startS3();
    if ('skipped' in started) return;
    world.server = started;
    bucket = await started.createBucket();
    world.double = await startS3Faults(started);
    world.proxy = await startFaultProxy(world.double);
  });
  beforeEach((context) => {
    if ('skipped' in started) return context.skip(started.skipped);
    world.store = world.open('faults');
  });
  afterEach(async () => {
    if ('skipped' in started) return;
    world.proxy.pass();
    world.double.rule = () => null;
    await world.store.delete(await keysOf(world.store));
    await world.store.abortUnfinished(soon());
    expect(await world.store.abortUnfinished(soon())).toBe(0);
    await world.store.close();
  });
  afterAll(async () => {
    if ('skipped' in started) return;
    await world.proxy.stop();
    await world.double.stop();
    await started.stop();
  });
  return world;
}

export function bytes(count: number): Readable {
  return Readable.from(bytesOf(count), { objectMode: false });
}
