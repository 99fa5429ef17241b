/** Publications and questions to CKAN, each inside a span of its own, around parts that know nothing of traces. */
import type { Ckan, CkanAnswer, CkanRequest } from '../ckan/client.ts';
import type { PublishDeps, PublishStep } from '../publish/publish.ts';
import type { TracedPublication } from '../publish/publisher.ts';
import type { Traces } from '../traces.ts';

/** What begins at each named step of a publication. One scan feeds every upload, so the two are one step. */
const begins: Readonly<Record<PublishStep, string>> = {
  fenced: 'snapshot',
  snapshot: 'compare revisions',
  scanning: 'scan and upload',
  uploaded: 'wait for the switch',
  switching: 'switch',
  switched: 'prune',
};

/** Steps become children of the publication's span; `onStep` hears them too. */
export function tracedSteps(
  traces: Traces,
  onStep: PublishDeps['onStep'],
): NonNullable<PublishDeps['onStep']> {
  return (id, step) => {
    traces.step(begins[step]);
    onStep?.(id, step);
  };
}

export function tracedPublication(traces: Traces): TracedPublication {
  return {
    publish: (work) =>
      traces.span('publish', {}, async () => {
        traces.step('fence');
        const outcome = await work();
        traces.note({ 'dump.outcome': outcome.kind });
        if (outcome.kind === 'published') {
          const { rows, tier, blobs } = outcome.manifest;
          traces.note({ 'dump.rows': rows, 'dump.tier': tier, 'dump.blobs': Object.keys(blobs).length });
        }
        return outcome;
      }),
    unpublish: (work) => traces.span('unpublish', {}, work),
  };
}

/** The caller's trace is not passed on: CKAN is asked once for all who wait. */
export function tracedCkan(traces: Traces, ckan: Ckan): Ckan {
  const ask = async (question: CkanRequest): Promise<CkanAnswer> => {
    const answer = await ckan.ask(question);
    const fault = answer.kind === 'unavailable' ? answer.reason : undefined;
    traces.note({ 'http.response.status_code': answer.status === 0 ? undefined : answer.status }, fault);
    return answer;
  };
  return {
    ask: (question) => {
      const attributes = { 'http.request.method': question.method };
      return traces.span(`CKAN ${question.action}`, attributes, () => ask(question), { kind: 'client' });
    },
    close: ckan.close,
  };
}
