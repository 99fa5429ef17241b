/** A real nginx before the service, where one is installed: given the `http` block's content, listening on loopback. */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { eventually } from './eventually.ts';
import { freePort } from './free-port.ts';

export interface Nginx {
  readonly url: string;
  close(): Promise<void>;
}

const program = ['nginx', '/usr/sbin/nginx'].find((name) => spawnSync(name, ['-v']).status === 0) ?? null;

/** Null where there is no nginx. `servers` gets the port to listen on and a directory of its own. */
export async function startNginx(
  servers: (port: number, directory: string) => string,
): Promise<Nginx | null> {
  if (program === null) return null;
  const directory = await mkdtemp(path.join(tmpdir(), 'dumper-nginx-'));
  const port = await freePort();
  const places = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
    (name) => `${name}_temp_path ${directory}/${name};`,
  );
  const user = process.getuid?.() === 0 ? 'user root;' : '';
  const configuration = path.join(directory, 'nginx.conf');
  await writeFile(
    configuration,
    `daemon off; pid ${directory}/pid; error_log ${directory}/error.log; ${user}
     events {}
     http { access_log off; ${places.join(' ')} ${servers(port, directory)} }`,
  );
  const running = spawn(program, ['-c', configuration, '-p', directory, '-e', `${directory}/error.log`], {
    stdio: 'ignore',
  });
  const url = `http://127.0.0.1:${port}`;
  await eventually(
    'nginx listens',
    () => fetch(url).then(async (response) => (await response.body?.cancel(), true)),
    { seconds: 25 },
  );
  return {
    url,
    close: async () => {
      if (running.exitCode === null) {
        const exited = once(running, 'exit');
        running.kill('SIGTERM');
        await exited;
      }
      await rm(directory, { recursive: true, force: true });
    },
  };
}
