/**
 * A real S3 server: the one at `TEST_S3_ENDPOINT` (credentials by the `AWS_*` variables), or versitygw on a temporary
 * directory. Its binary is built by Go into a cache on first use; without Go the caller is told why it is skipped.
 */
import { execFile, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { access, constants, mkdir, mkdtemp } from 'node:fs/promises';
import { connect } from 'node:net';
import { homedir, tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { CreateBucketCommand, S3Client } from '@aws-sdk/client-s3';
import { eventually } from './eventually.ts';
import { freePort } from './free-port.ts';

const run = promisify(execFile);
const versitygw = 'github.com/versity/versitygw/cmd/versitygw@v1.8.0';

export interface S3Server {
  readonly endpoint: string;
  readonly host: string;
  readonly port: number;
  /** `AWS_*` variables that reach this server, `AWS_ENDPOINT_URL_S3` included. */
  readonly environment: Readonly<Record<string, string>>;
  /** A new bucket; returns its name. */
  createBucket(name?: string): Promise<string>;
  stop(): Promise<void>;
}

/** Build the server's binary into the cache, unless it is there, cannot be built, or a server is given. */
export async function buildS3(): Promise<void> {
  if (!process.env['TEST_S3_ENDPOINT']) await cachedBinary();
}

/** Start a server of the caller's own, or say why there is none. */
export async function startS3(): Promise<S3Server | { skipped: string }> {
  const given = process.env['TEST_S3_ENDPOINT'];
  if (given) return reaching(given, credentialsOf(process.env), async () => undefined);
  const binary = await cachedBinary();
  return typeof binary === 'string' ? startVersitygw(binary) : binary;
}

async function startVersitygw(binary: string): Promise<S3Server> {
  const directory = await mkdtemp(path.join(tmpdir(), 'dumper-s3-'));
  const [data, metadata] = [path.join(directory, 'data'), path.join(directory, 'metadata')];
  await Promise.all([mkdir(data), mkdir(metadata)]);
  const port = await freePort();
  const credentials = { AWS_ACCESS_KEY_ID: 'dumper', AWS_SECRET_ACCESS_KEY: randomBytes(12).toString('hex') };
  const server = [
    '--port',
    `127.0.0.1:${port}`,
    '--keep-alive',
    '--quiet',
    'posix',
    '--sidecar',
    metadata,
    data,
  ];
  const guard = spawn('sh', ['-c', guardScript, directory, binary, ...server], {
    detached: true,
    env: {
      PATH: process.env['PATH'],
      ROOT_ACCESS_KEY: credentials.AWS_ACCESS_KEY_ID,
      ROOT_SECRET_KEY: credentials.AWS_SECRET_ACCESS_KEY,
    },
    stdio: ['pipe', 'ignore', 'pipe'],
  });
  const gone = once(guard, 'exit');
  const stop = async (): Promise<void> => {
    guard.stdin.end();
    await gone;
  };
  let complaint = '';
  guard.stderr.on('data', (chunk: Buffer) => {
    complaint = (complaint + chunk.toString()).slice(-2000);
  });
  try {
    await eventually('versitygw listens', () => listens(port), { seconds: 25 });
  } catch (error) {
    await stop();
    throw new Error(`versitygw did not start: ${complaint}`, { cause: error });
  }
  return reaching(`http://127.0.0.1:${port}`, credentials, stop);
}

/** Runs the server until the pipe to this process closes, however this process ends, then clears away after it. */
const guardScript = `"$@" & server=$!
read -r _
kill -KILL "$server"
wait "$server" 2>/dev/null
rm -rf "$0"`;

function reaching(
  endpoint: string,
  credentials: Record<string, string>,
  stop: () => Promise<void>,
): S3Server {
  const environment = { AWS_REGION: 'us-east-1', ...credentials, AWS_ENDPOINT_URL_S3: endpoint };
  const { hostname, port, protocol } = new URL(endpoint);
  const client = new S3Client({
    endpoint,
    forcePathStyle: true,
    region: environment.AWS_REGION,
    credentials: {
      accessKeyId: credentials['AWS_ACCESS_KEY_ID'] ?? '',
      secretAccessKey: credentials['AWS_SECRET_ACCESS_KEY'] ?? '',
    },
  });
  return {
    endpoint,
    host: hostname,
    port: Number(port) || (protocol === 'https:' ? 443 : 80),
    environment,
    createBucket: async (name = `dumper-${randomBytes(6).toString('hex')}`) => {
      await client.send(new CreateBucketCommand({ Bucket: name }));
      return name;
    },
    stop: async () => {
      client.destroy();
      await stop();
    },
  };
}

function credentialsOf(environment: NodeJS.ProcessEnv): Record<string, string> {
  return Object.fromEntries(
    ['AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY', 'AWS_REGION'].flatMap((name) => {
      const value = environment[name];
      return value ? [[name, value]] : [];
    }),
  );
}

async function listens(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1');
  try {
    await once(socket, 'connect');
    return true;
  } finally {
    socket.destroy();
  }
}

/** Path of the binary, built if it is not in the cache yet. */
async function cachedBinary(): Promise<string | { skipped: string }> {
  const cache = process.env['XDG_CACHE_HOME'] ?? path.join(homedir(), '.cache');
  const folder = path.join(cache, 'datastore-dumper', 'bin');
  const binary = path.join(folder, 'versitygw');
  if (await isExecutable(binary)) return binary;
  try {
    await run('go', ['version']);
  } catch {
    return { skipped: 'no S3 server: neither TEST_S3_ENDPOINT is set nor Go there to build versitygw' };
  }
  await mkdir(folder, { recursive: true });
  console.log('building the S3 server of the tests, once …');
  try {
    await run('go', ['install', versitygw], { env: { ...process.env, GOBIN: folder }, timeout: 600_000 });
    return binary;
  } catch (error) {
    return {
      skipped: `no S3 server: versitygw could not be built: ${error instanceof Error ? error.message : error}`,
    };
  }
}

async function isExecutable(file: string): Promise<boolean> {
  return access(file, constants.X_OK).then(
    () => true,
    () => false,
  );
}
