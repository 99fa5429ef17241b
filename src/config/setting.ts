/**
 * The kinds of settings: which text they may have in the environment, and what it becomes. A fault names what is
 * expected. The `meta` of a kind is what JSON Schema can express of it; the chart's schema is made from it.
 */
import { validate } from 'node-cron';
import { z } from 'zod';
import { variants, type Variant } from '../format.ts';

export const flag = z
  .string()
  .regex(/^(true|false|yes|no|on|off|1|0)$/i, 'expected true or false')
  .transform((text) => /^(true|yes|on|1)$/i.test(text));
export const count = (least: number, most: number) =>
  z
    .string()
    .regex(/^\d+$/, 'expected a whole number')
    .meta({ minimum: least, maximum: most })
    .transform(Number)
    .refine((value) => value >= least && value <= most, `expected ${least} to ${most}`);
export const httpUrl = z
  .string()
  .refine(
    (text) => URL.canParse(text) && /^https?:$/.test(new URL(text).protocol),
    'expected an http or https URL',
  )
  .meta({ pattern: '^https?://.' })
  .transform((text) => text.replace(/\/+$/, ''));
export const postgresUrl = z
  .string()
  .refine((text) => /^postgres(ql)?:\/\//.test(text) && URL.canParse(text), 'expected a postgresql:// URL')
  // CKAN's own settings may have SQLAlchemy's spelling.
  .or(
    z
      .string()
      .regex(/^postgresql\+\w+:\/\//)
      .transform((text) => text.replace(/^postgresql\+\w+:/, 'postgresql:')),
  );
export const redisUrl = z.string().regex(/^(rediss?|unix):\/\//, 'expected a redis:// URL');
export const blobStore = z
  .string()
  .refine(
    (text) => URL.canParse(text) && /^(s3:\/\/[^/]+|file:\/\/\/)/.test(text),
    'expected s3://bucket/prefix or file:///directory',
  )
  .meta({ pattern: '^(s3://[^/]|file:///)' });
/** Checked when settings are read, so that a bad expression is a fault of the settings. */
export const cron = z.string().superRefine((text, context) => {
  if (validate(text)) return;
  context.addIssue({ code: 'custom', message: `expected a cron expression, got "${text}"` });
});
export const words = z.string().transform((text) => text.split(/[\s,]+/).filter((word) => word !== ''));
const oneVariant = `(${variants.map((variant) => variant.replace('+', '[+]')).join('|')})`;
export const publishedVariants = z
  .string()
  .meta({ pattern: `^[\\s,]*${oneVariant}([\\s,]+${oneVariant})*[\\s,]*$` })
  .pipe(words)
  .pipe(
    z.array(z.enum(variants as [Variant, ...Variant[]], `expected some of ${variants.join(', ')}`)).min(1),
  );

export interface Setting {
  readonly kind: z.ZodType;
  /** As it would be written in the environment; null: none. */
  readonly default: string | null;
  readonly meaning: string;
  readonly secret?: true;
}

/** One row of the table of settings. */
export const setting = <Kind extends z.ZodType, Default extends string | null>(
  kind: Kind,
  fallback: Default,
  meaning: string,
  secret?: true,
) => ({ kind, default: fallback, meaning, ...(secret ? { secret } : {}) });
