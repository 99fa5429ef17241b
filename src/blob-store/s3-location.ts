/** One bucket and prefix with its clients: what every request to S3 begins with, and how its failure is said. */
import { isAbsent, unavailable } from './s3-errors.ts';
import type { S3Clients } from './s3-client.ts';

/** One bucket and prefix with its clients; every request about a single object begins here. */
export interface S3Location extends S3Clients {
  readonly Bucket: string;
  /** Empty, or ends in a slash. */
  readonly prefix: string;
  readonly idleSeconds: number;
  readonly answerSeconds: number;
  at(key: string): { Bucket: string; Key: string };
  deadline(): { abortSignal: AbortSignal };
}

/** Run `ask`; what the SDK throws is said as the catalogue's error. */
export async function mapS3Errors<Answer>(bucket: string, ask: () => Promise<Answer>): Promise<Answer> {
  try {
    return await ask();
  } catch (error) {
    throw unavailable(error, bucket);
  }
}

/** Null where there is no such object. */
export async function orNull<Answer>(asking: Promise<Answer>): Promise<Answer | null> {
  try {
    return await asking;
  } catch (error) {
    if (isAbsent(error)) return null;
    throw error;
  }
}
