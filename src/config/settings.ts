/** The table of settings: name, kind, default, meaning. README, chart and `--help` are checked against it. */
import { z } from 'zod';
import { ckanVersions } from '../ckan/profile.ts';
import { variants } from '../format.ts';
import {
  blobStore,
  count,
  cron,
  flag,
  httpUrl,
  postgresUrl,
  publishedVariants,
  redisUrl,
  setting,
  words,
  type Setting,
} from './setting.ts';

/** Every setting, in the order in which README, chart and `--help` show them. */
export const settings = {
  CKAN_DATASTORE_READ_URL: setting(
    postgresUrl,
    null,
    "The DataStore database, with CKAN's read-only role; all table data is read through it. Required.",
    true,
  ),
  CKAN_DATASTORE_WRITE_URL: setting(
    postgresUrl,
    null,
    'The same database with the role that owns the tables; only for `install-triggers` and its upkeep.',
    true,
  ),
  CKAN_SITE_URL: setting(
    httpUrl,
    null,
    "CKAN's base URL, asked for permissions. Required unless `DUMPER_AUTHORIZE=off`.",
  ),
  CKAN_API_TOKEN: setting(
    z.string().min(1),
    null,
    'A CKAN API token; lets the service write task status back. Off without it.',
    true,
  ),
  CKAN_REDIS_URL: setting(redisUrl, null, 'Redis where several replicas share permission decisions.', true),
  DUMPER_STATE_URL: setting(
    postgresUrl,
    null,
    "A Postgres database of the service's own: queue, fences, statistics. Required to publish.",
    true,
  ),
  DUMPER_BLOB_STORE: setting(
    blobStore,
    null,
    '`s3://bucket/prefix` (endpoint, region, credentials by the `AWS_*` variables) or `file:///directory`. Required to publish.',
  ),
  DUMPER_PUBLIC_BLOB_URL: setting(
    httpUrl,
    null,
    'Base URL (CDN) of the blobs of tables that anonymous users may read; without it every redirect is signed.',
  ),
  DUMPER_AUTHORIZE: setting(
    z.enum(['ckan', 'off']),
    'ckan',
    '`ckan`: ask CKAN as the caller; `off`: everything is public (demo, tests).',
  ),
  DUMPER_CKAN_VERSION: setting(
    z.enum(['auto', ...ckanVersions]),
    'auto',
    "Whose bytes to give: `2.11`, `2.12`; `auto` asks CKAN's `status_show`.",
  ),
  DUMPER_FORMATS: setting(
    publishedVariants,
    'csv,csv+bom,tsv,tsv+bom,json,xml',
    `What is published, of ${variants.join(', ')}.`,
  ),
  DUMPER_SWEEP_CRON: setting(cron, '*/5 * * * *', 'When every table is compared with its manifest.'),
  DUMPER_REBUILD_CRON: setting(cron, null, 'When everything is regenerated, whether changed or not.'),
  DUMPER_QUIET_SECONDS: setting(
    count(0, 86_400),
    '5',
    'A table is published when it has been quiet this long.',
  ),
  DUMPER_DELIVERY: setting(
    z.enum(['redirect', 'stream', 'x-accel']),
    'redirect',
    '`redirect`: 302 to the blob; `stream`: its bytes through the service; `x-accel`: nginx is told to fetch it.',
  ),
  DUMPER_COMPRESS: setting(
    z.enum(['off', 'on']),
    'off',
    'Compress live answers for callers that accept zstd or gzip; `off` where a proxy does, or where links are fast.',
  ),
  DUMPER_URL_LIFE_SECONDS: setting(count(1, 604_800), '300', 'Life of a signed URL.'),
  DUMPER_DECISION_CACHE_SECONDS: setting(count(0, 3600), '10', 'Life of a permission decision.'),
  DUMPER_NOTICE_SECRET: setting(
    z.string().min(1),
    null,
    'HMAC key of notices; without it the notice route answers 404.',
    true,
  ),
  DUMPER_ADMIN_TOKEN: setting(
    z.string().min(1),
    null,
    'Bearer token of the status and control API; without it only anonymous-safe answers.',
    true,
  ),
  DUMPER_HOST: setting(z.string().min(1), '0.0.0.0', 'Address to listen on.'),
  DUMPER_PORT: setting(count(0, 65_535), '8000', 'Port to listen on.'),
  DUMPER_ROLE: setting(
    z.enum(['all', 'serve', 'publish']),
    'all',
    '`serve`: routes only; `publish`: workers and schedule only.',
  ),
  DUMPER_LOG_LEVEL: setting(
    z.enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent']),
    'info',
    'Least level that is logged.',
  ),
  DUMPER_FILENAME: setting(
    z.string().min(1),
    null,
    "Template of the file name in Content-Disposition over {name}, {id}, {date}, {ext}; CKAN's own name without it.",
  ),
  DUMPER_BLOB_URL_SECRET: setting(
    z.string().min(16),
    null,
    'Key of the signed URLs of a directory store; derived from the state URL without it.',
    true,
  ),
  DUMPER_BASE_URL: setting(
    httpUrl,
    null,
    'Where clients reach this service, for the URLs of a directory store; relative redirects without it.',
  ),
  DUMPER_READ_POOL: setting(count(1, 1000), '4', 'Connections for token and catalogue queries.'),
  DUMPER_LIVE_SLOTS: setting(count(1, 1000), '8', 'Live answers at once, each its own connection.'),
  DUMPER_PUBLISH_SLOTS: setting(
    count(1, 100),
    '2',
    'Publications at once in this process; one is kept for small tables.',
  ),
  DUMPER_STALL_SECONDS: setting(
    count(1, 3600),
    '60',
    'A live answer or publication without progress for this long is broken off.',
  ),
  DUMPER_LOCK_SECONDS: setting(count(1, 600), '5', 'Longest wait for the ACCESS SHARE lock of a table.'),
  DUMPER_PUBLISH_MAX_SECONDS: setting(
    count(1, 604_800),
    '14400',
    'Longest publication of one table: bounds how long its snapshot is held.',
  ),
  DUMPER_HOT_TABLE_FACTOR: setting(
    count(0, 1000),
    '4',
    'A table that never rests is published at most once in this many of its own build times.',
  ),
  DUMPER_COUNTER_MARGIN_SECONDS: setting(
    count(0, 3600),
    '60',
    'Read-only tier: a blob counts as fresh only when the counters have rested this long.',
  ),
  DUMPER_SMALL_TABLE_MIB: setting(
    count(1, 1_048_576),
    '64',
    'Tables up to this size use the slots kept for small tables.',
  ),
  DUMPER_RETIRE_MARGIN_SECONDS: setting(
    count(0, 604_800),
    '300',
    'Superseded blobs live as long as any URL handed out plus this.',
  ),
  DUMPER_SESSION_COOKIES: setting(
    words,
    'ckan,auth_tkt,remember_token',
    'Cookies by which CKAN knows a session; no others are forwarded to it.',
  ),
  DUMPER_CKAN_TIMEOUT_SECONDS: setting(count(1, 120), '5', 'Deadline of one question to CKAN.'),
  DUMPER_DRAIN_SECONDS: setting(count(0, 3600), '30', 'Grace of live answers after SIGTERM.'),
  CKAN__DATASTORE__MS_IN_TIMESTAMP: setting(flag, null, "CKAN's `ckan.datastore.ms_in_timestamp`."),
  CKAN__DATASTORE__DEFAULT_FTS_LANG: setting(
    z.string().regex(/^\w+$/),
    'english',
    "CKAN's `ckan.datastore.default_fts_lang`.",
  ),
  CKAN__DATASTORE__PUBLIC_TABLE_SEARCH: setting(
    words,
    null,
    "CKAN's `ckan.datastore.public_table_search`: internal tables anyone may read; CKAN's default of the version without it.",
  ),
  CKAN__CORS__ORIGIN_ALLOW_ALL: setting(flag, 'false', "CKAN's `ckan.cors.origin_allow_all`."),
  CKAN__CORS__ORIGIN_WHITELIST: setting(words, null, "CKAN's `ckan.cors.origin_whitelist`."),
  CKAN__LOCALE_DEFAULT: setting(z.string().min(1), 'en', "CKAN's `ckan.locale_default`."),
  CKAN__APITOKEN_HEADER_NAME: setting(
    z.string().regex(/^[\w-]+$/),
    'Authorization',
    "CKAN's `apitoken_header_name`.",
  ),
} as const satisfies Record<string, Setting>;

export type SettingName = keyof typeof settings;
