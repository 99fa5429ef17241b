/**
 * Which dump a request's target names, by CKAN's rules: an optional locale in front, one path segment as id or alias,
 * nothing behind it. CKAN sees the path after percent-decoding (PEP 3333), so `%2F` is a slash and bytes that are no
 * UTF-8 become U+FFFD.
 */

/** Folders of `ckan/i18n` over CKAN 2.10 to 2.12; `en` is built in. */
const locales: ReadonlySet<string> = new Set(
  `am ar bg bs ca cs_CZ da_DK de dv el en en_AU en_CA en_GB es es_AR es_MX eu fa_IR fi fr gl gl_ES he hr hu id is it ja
  kab km ko_KR lo lt lv mk mn_MN ms my my_MM nb_NO ne ne_NP nl no pl pt_BR pt_PT ro ru sk sl sq sq_AL sr sr_Latn sv sw
  th tl tr uk uk_UA vi vi_VN zh_CN zh_Hans_CN zh_Hant_TW zh_TW`.split(/\s+/),
);

/** Slashes at the beginning, or behind the locale, count as one (Werkzeug 2 and 3); inside the path they do not. */
const dumpPath = /^(?:\/([^/]+))?\/+datastore\/dump\/([^/]+)$/s;

interface RequestTarget {
  /** As it stands in the request line, still encoded. */
  readonly path: string;
  /** Behind the first `?`, still encoded; empty where there is none. */
  readonly query: string;
}

/** Split a request target of origin form, or absolute form as proxies send it (RFC 9112, section 3.2). */
export function parseRequestTarget(url: string): RequestTarget {
  const target = url.startsWith('/') ? url : url.replace(/^[a-z][a-z+.-]*:\/\/[^/?]*/i, '');
  const mark = target.indexOf('?');
  const path = mark === -1 ? target : target.slice(0, mark);
  return { path: path === '' ? '/' : path, query: mark === -1 ? '' : target.slice(mark + 1) };
}

/** The id or alias that the path asks a dump of, or null where it is no dump's path. */
export function dumpNameFrom(path: string, defaultLocale: string): string | null {
  if (!path.includes('dump')) return null;
  const [, locale, name] = dumpPath.exec(decodePath(path)) ?? [];
  if (name === undefined) return null;
  return locale === undefined || locale === defaultLocale || locales.has(locale) ? name : null;
}

function decodePath(path: string): string {
  if (!path.includes('%') && /^[\x20-\x7e]*$/.test(path)) return path;
  const bytes = path.replaceAll(/%([0-9a-f]{2})/gi, (_, hex: string) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  );
  return Buffer.from(bytes, 'latin1').toString('utf8');
}
