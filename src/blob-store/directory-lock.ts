/**
 * The lock under which a directory store switches small objects: one at a time over all processes that share it.
 *
 * It is SQLite's write lock on an empty database file, so it is the kernel's: it ends with the process that has it,
 * however that process ends. A stopped process keeps it and nobody can overtake. The section it guards is synchronous.
 */
import { mkdirSync } from 'node:fs';
import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { setTimeout as delay } from 'node:timers/promises';
import { DumperError } from '../errors.ts';

export interface DirectoryLock {
  /** Run `section` while no other process runs one; throws `BLOB_STORE_UNAVAILABLE` after `waitSeconds`. */
  exclusive<Result>(section: () => Result): Promise<Result>;
  close(): void;
}

const busy = 5; // SQLITE_BUSY
const pauseMs = 5;

export function openLock(file: string, waitSeconds = 10): DirectoryLock {
  let database: DatabaseSync | null = null;
  const opened = (): DatabaseSync => {
    mkdirSync(path.dirname(file), { recursive: true });
    return new DatabaseSync(file, { timeout: 0 });
  };
  return {
    exclusive: async (section) => {
      const deadline = performance.now() + waitSeconds * 1000;
      database ??= opened();
      while (!entered(database)) {
        if (performance.now() > deadline) {
          throw new DumperError('BLOB_STORE_UNAVAILABLE', 'the blob store cannot be used: its lock is held');
        }
        await delay(pauseMs);
      }
      try {
        return section();
      } finally {
        database.exec('ROLLBACK');
      }
    },
    close: () => {
      database?.close();
      database = null;
    },
  };
}

function entered(database: DatabaseSync): boolean {
  try {
    database.exec('BEGIN IMMEDIATE');
    return true;
  } catch (error) {
    if ((error as { errcode?: unknown }).errcode === busy) return false;
    throw error;
  }
}
