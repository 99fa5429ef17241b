/** The texts agree with the program: documents, chart, image, compose file, promises, links, and nothing of a machine. */
import { existsSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { settings } from '../../src/config/settings.ts';
import { generatedFiles } from './generated.ts';
import { promises } from './promises.ts';
import { importsOf } from './source.ts';
import { checkoutFiles, provingTests, root, textOf } from './tree.ts';

const manifest = JSON.parse(textOf('package.json')) as {
  readonly version: string;
  readonly dependencies: Record<string, string>;
  readonly optionalDependencies: Record<string, string>;
  readonly devDependencies: Record<string, string>;
  readonly scripts: Record<string, string>;
};
const documents = checkoutFiles(/\.md$/).filter((file) => !file.startsWith('test/fixtures'));

/** Anchors as GitHub makes them from headings. */
function anchorsOf(file: string): string[] {
  return [...textOf(file).matchAll(/^#+ (.+)$/gm)].map((match) =>
    (match[1] ?? '')
      .toLowerCase()
      .replaceAll(/[^\w\s-]/g, '')
      .replaceAll(' ', '-'),
  );
}

describe('the texts', () => {
  it('documents and chart are as settings, repairs and promises say (npm run generate writes them)', async () => {
    for (const { file, text } of await generatedFiles({ counts: false }))
      expect(textOf(file), file).toBe(text);
  });

  it('every setting that a text names exists', () => {
    const texts = [
      ...documents,
      'compose.yaml',
      'Dockerfile',
      ...checkoutFiles(/^(docs\/fronts|helm|packaging)\//),
    ];
    const ofComposition = [
      'DUMPER_CKAN_URL',
      'DUMPER_STATE_PASSWORD',
      'DUMPER_BUCKET',
      'DUMPER_S3_KEY',
      'DUMPER_S3_SECRET',
      'DUMPER_PORT_HOST',
    ];
    for (const file of texts) {
      for (const name of textOf(file).match(/\bDUMPER_[A-Z_]+[A-Z]\b/g) ?? []) {
        expect([...Object.keys(settings), ...ofComposition], `${name} in ${file}`).toContain(name);
      }
    }
  });

  it('the README has 130 lines at most', () => {
    expect(textOf('README.md').trimEnd().split('\n').length).toBeLessThanOrEqual(130);
  });

  it('links between files lead somewhere, and so do their anchors', () => {
    for (const file of documents) {
      for (const [, target = ''] of textOf(file).matchAll(/\]\((?!https?:)([^)\s]+)\)/g)) {
        const [to = '', anchor] = target.split('#');
        const place = to === '' ? file : path.join(path.dirname(file), to);
        expect(existsSync(path.join(root, place)), `${target} in ${file}`).toBe(true);
        if (anchor !== undefined) expect(anchorsOf(place), `${target} in ${file}`).toContain(anchor);
      }
    }
  });

  it('the index names every document', () => {
    const named = [...textOf('docs/README.md').matchAll(/\]\(([^)]+)\)/g)].map((match) =>
      path.join('docs', match[1] ?? ''),
    );
    const pages = documents.filter((file) => /^docs\/[^/]+\.md$/.test(file) && file !== 'docs/README.md');
    expect(named).toEqual(expect.arrayContaining(pages));
  });

  it('commands that a text gives for a checkout exist', () => {
    for (const file of documents) {
      for (const [, script = ''] of textOf(file).matchAll(/npm run (?:-s )?([a-z:]+)/g))
        expect(Object.keys(manifest.scripts), file).toContain(script);
    }
  });

  it('every dependency is named in docs/dependencies.md, and every one of production is imported', () => {
    const table = textOf('docs/dependencies.md');
    const names = Object.keys({
      ...manifest.dependencies,
      ...manifest.optionalDependencies,
      ...manifest.devDependencies,
    });
    for (const name of names) expect(table, name).toMatch(new RegExp(`[ ,|]${name}[ ,|]`));
    const imported = checkoutFiles(/^src\/.*\.ts$/)
      .filter((file) => !file.endsWith('.as.ts'))
      .flatMap(importsOf);
    const unused = Object.keys(manifest.dependencies).filter(
      (name) => !imported.some((one) => one === name || one.startsWith(`${name}/`)),
    );
    expect(unused).toEqual([]);
    for (const version of Object.values({ ...manifest.dependencies, ...manifest.devDependencies })) {
      expect(version).toMatch(/^(npm:[\w@/-]+@)?\d+\.\d+\.\d+/);
    }
  });

  it('every promise has a test that carries its name', () => {
    const proofs = provingTests();
    expect(Object.keys(promises).filter((id) => !proofs.has(id))).toEqual([]);
  });

  it('the versions of package, chart, description and changelog are one', () => {
    const chart = parse(textOf('helm/datastore-dumper/Chart.yaml')) as {
      version: string;
      appVersion: string;
    };
    expect([chart.version, chart.appVersion]).toEqual([manifest.version, manifest.version]);
    expect(textOf('CHANGELOG.md')).toContain(`## ${manifest.version}`);
    expect(textOf('compose.yaml')).toContain(`image: datastore-dumper:${manifest.version}`);
  });

  it('no tracked file holds a path of a machine or the address of a registry', () => {
    const traces =
      /(?:^|[\s"'`(=])\/(?:root|home\/\w+|work|Users)\/|https?:\/\/registry\.|verdaccio|artifactory/im;
    const texts = checkoutFiles(
      /\.(ts|md|json|ya?ml|conf|tpl|txt|npmrc|sh|toml)$|Dockerfile|^\.ci\/|^\.[a-z]+rc/,
    );
    const wrong = texts.filter(
      (file) =>
        file !== 'test/house/texts.unit.test.ts' &&
        !file.startsWith('test/fixtures/') &&
        traces.test(textOf(file)),
    );
    expect(wrong).toEqual([]);
  });
});

describe('the image', () => {
  const image = textOf('Dockerfile');

  it('has the pinned Node of the package, runs as nobody, and knows whether it is well', () => {
    expect(image).toContain(`ARG NODE_VERSION=${manifest.devDependencies['node']}`);
    expect(image.match(/^FROM .*$/gm)).toHaveLength(2);
    for (const from of image.match(/^FROM (\S+)/gm) ?? []) expect(from).toContain(':${NODE_VERSION}-');
    expect(image).toMatch(/^USER 1000:1000$/m);
    expect(image).toMatch(/^HEALTHCHECK .*\\\n.*healthz/m);
    expect(image.indexOf('USER 1000')).toBeLessThan(image.indexOf('ENTRYPOINT'));
  });

  it('copies only what is there, and no secret', () => {
    for (const [, sources = ''] of image.matchAll(/^COPY (?!--from)(.+) \S+$/gm)) {
      for (const file of sources.split(' ')) expect(existsSync(path.join(root, file)), file).toBe(true);
    }
    expect(image).not.toMatch(/PASSWORD|SECRET|TOKEN/);
  });

  it('the compose file pins its images and sets only settings that exist', () => {
    const { services } = parse(textOf('compose.yaml')) as {
      services: Record<string, { image: string; environment?: Record<string, string> }>;
    };
    for (const [name, { image: wanted }] of Object.entries(services))
      expect(wanted, name).toMatch(/:v?\d+\.\d+/);
    const names = Object.keys(services['datastore-dumper']?.environment ?? {}).filter(
      (name) => !name.startsWith('AWS_'),
    );
    for (const name of names) expect(Object.keys(settings)).toContain(name);
  });

  it('the compose file starts with no password that everybody knows', () => {
    const known = [...textOf('compose.yaml').matchAll(/\$\{(\w*(?:PASSWORD|SECRET|TOKEN|URL)):-([^}]+)\}/g)];
    expect(known.filter(([, name, given = '']) => name !== 'DUMPER_CKAN_URL' || given.includes('@'))).toEqual(
      [],
    );
    expect(textOf('compose.yaml').match(/\$\{\w*(?:PASSWORD|SECRET):\?[^}]+\}/g)?.length).toBeGreaterThan(3);
  });
});
