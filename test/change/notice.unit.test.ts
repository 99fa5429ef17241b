/** P15, P17: what a notice may say, and that nothing else is listened to. */
import { expect, test } from 'vitest';
import {
  createReplayGuard,
  webhookMaxTables,
  verifyWebhook,
  type WebhookResult,
} from '../../src/change/webhook.ts';
import { signWebhook } from './sign-webhook.ts';

const secret = 'a secret';
const now = new Date('2026-11-21T12:00:00Z');
const id = '0b7c9a8e-1111-4222-8333-444455556666';
const other = '0b7c9a8e-1111-4222-8333-777788889999';

function read(body: string | Uint8Array, change: Record<string, unknown> = {}, at = now): WebhookResult {
  const bytes = Buffer.from(body);
  const request = { body: bytes, ...signWebhook(bytes, secret, now), ...change };
  return verifyWebhook(request, secret, at, createReplayGuard());
}

const accepted: Record<string, [unknown, string[]]> = {
  plain: [{ resource_id: id }, [id]],
  'several under one name': [{ resource_ids: [id, other] }, [id, other]],
  list: [
    [{ resource_id: id }, { resource_id: other }, { resource_id: id }],
    [id, other],
  ],
  'list of ids': [
    [id, other],
    [id, other],
  ],
  'an empty list': [[], []],
  alias: [{ resource_id: 'bus-stops' }, ['bus-stops']],
  'cloud event': [{ specversion: '1.0', type: 'x', source: '/', id: '1', data: { resource_id: id } }, [id]],
  'cloud event by subject': [
    { specversion: '1.0', type: 'x', source: '/', id: '1', subject: `resources/${id}` },
    [id],
  ],
  'cloud events in a batch': [[{ specversion: '1.0', data: { resource_id: id } }], [id]],
  's3 event': [{ Records: [{ s3: { object: { key: `ckan/resources/${id}/my+file%20x.csv` } } }] }, [id]],
  's3 event of other keys': [{ Records: [{ s3: { object: { key: 'logs/x%ZZ' } } }] }, []],
  's3 test event': [{ Service: 'Amazon S3', Event: 's3:TestEvent' }, []],
  minio: [
    {
      EventName: 's3:ObjectCreated:Put',
      Key: 'b/k',
      Records: [{ s3: { object: { key: `resources%2F${id}%2Fa.csv` } } }],
    },
    [id],
  ],
  eventbridge: [{ version: '0', detail: { object: { key: `resources/${id.toUpperCase()}/a.csv` } } }, [id]],
  r2: [{ account: 'a', bucket: 'b', action: 'PutObject', object: { key: `resources/${id}/a.csv` } }, [id]],
  'sns around s3': [
    {
      Type: 'Notification',
      Message: JSON.stringify({ Records: [{ s3: { object: { key: `r/${id}/a` } } }] }),
    },
    [id],
  ],
  'sns around plain': [{ Type: 'Notification', Message: JSON.stringify({ resource_id: id }) }, [id]],
  'sns confirmation: its address is not fetched': [
    { Type: 'SubscriptionConfirmation', SubscribeURL: 'http://169.254.169.254/' },
    [],
  ],
};
test.for(Object.entries(accepted))('accepted: %s', ([, [body, names]]) => {
  expect(read(JSON.stringify(body))).toEqual({ kind: 'accepted', names });
});

const malformed: Record<string, string | Uint8Array> = {
  empty: '',
  'no JSON': 'resource_id=x',
  'not UTF-8': Uint8Array.of(0x22, 0xff, 0x22),
  null: 'null',
  number: '42',
  'no id': '{}',
  'an object for an id': '{"resource_id": {"$ne": null}}',
  'an empty id': '{"resource_id": ""}',
  'an id too long for a table': JSON.stringify({ resource_id: 'x'.repeat(64) }),
  'control characters': '{"resource_id": "a\\u0000b"}',
  'lists without end': '['.repeat(50_000) + ']'.repeat(50_000),
  'a URL only': '{"url": "http://169.254.169.254/"}',
  'sns around nonsense': '{"Type": "Notification", "Message": "hello"}',
};
test.for(Object.entries(malformed))('P15: malformed: %s', ([, body]) => {
  expect(read(body)).toMatchObject({ kind: 'refused', status: 400 });
});

const good = signWebhook(Buffer.from('{}'), secret, now).signature;
const forged: Record<string, Record<string, unknown>> = {
  'no signature': { signature: undefined },
  'no time': { timestamp: undefined },
  'another algorithm': { signature: good.replace('sha256', 'sha1') },
  'without its name': { signature: good.replace('sha256=', '') },
  'too short': { signature: 'sha256=00' },
  'one digit off': { signature: good.replace(/.$/, (digit) => (digit === '0' ? '1' : '0')) },
  'twice in the request': { signature: [good, good] },
  'of another time': { timestamp: String(now.getTime() / 1000 + 1) },
  'time that is no number': { timestamp: `${now.getTime() / 1000}.0` },
  'negative time': { timestamp: '-1' },
  'of another body': { body: Buffer.from('{ }') },
};
test.for(Object.entries(forged))('P15: forged: %s', ([, change]) => {
  expect(read('{}', change)).toEqual({
    kind: 'refused',
    status: 401,
    reason: 'the signature or its time is wrong',
  });
});

test('P15: stale: five minutes either way, no more', () => {
  const at = (seconds: number): WebhookResult =>
    read(JSON.stringify({ resource_id: id }), {}, new Date(now.getTime() + seconds * 1000));
  expect([at(-301), at(-300), at(300), at(301)].map((notice) => notice.kind)).toEqual([
    'refused',
    'accepted',
    'accepted',
    'refused',
  ]);
});

test('P15: oversized: a notice that names too many tables names none', () => {
  const many = Array.from({ length: webhookMaxTables + 1 }, (_, n) => ({ resource_id: `t${n}` }));
  expect(read(JSON.stringify(many))).toMatchObject({ status: 413 });
  expect(read(JSON.stringify(many.slice(1)))).toMatchObject({ kind: 'accepted' });
});

test('P15: replayed: the second of the same is known, within bounds, for as long as it would be fresh', () => {
  const guard = createReplayGuard(3);
  const later = new Date(now.getTime() + 601_000);
  expect([guard.first('a', now), guard.first('a', now), guard.first('b', now)]).toEqual([true, false, true]);
  expect(guard.first('a', later), 'too old to be accepted anyway').toBe(true);
  for (const signature of ['c', 'd', 'e', 'f']) expect(guard.first(signature, later)).toBe(true);
  expect(guard.first('f', later)).toBe(false);
});
