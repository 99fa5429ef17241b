/** Publications and questions to CKAN, each inside a span of its own, around parts that know nothing of traces. */
import type { Ckan } from '../ckan/client.ts';
import type { PublishDeps, PublishStep } from '../publish/publish.ts';
import type { Publisher } from '../publish/publisher.ts';
import type { Traces } from '../traces.ts';

/** What begins at each named step of a publication. One scan feeds every upload, so the two are one step. */
const begins: Readonly<Record<PublishStep, string>> = {
  fenced: 'snapshot',
  snapshot: 'compare revisions',
  scanning: 'scan and upload',
  uploaded: 'wait for the switch',
  switching: 'switch',
  switched: 'retire',
};

/** Steps become children of the publication's span; whoever else listens hears them too. */
export function tracedSteps(
  traces: Traces,
  onStep: PublishDeps['onStep'],
): NonNullable<PublishDeps['onStep']> {
  return (id, step) => {
    traces.step(begins[step]);
    onStep?.(id, step);
  };
}

export function tracedPublisher(traces: Traces, publisher: Publisher): Publisher {
  const publish: Publisher['publish'] = async (id, options) => {
    traces.step('fence');
    const outcome = await publisher.publish(id, options);
    traces.note({ 'dump.outcome': outcome.kind });
    if (outcome.kind === 'published') {
      const { rows, tier, blobs } = outcome.manifest;
      traces.note({ 'dump.rows': rows, 'dump.tier': tier, 'dump.blobs': Object.keys(blobs).length });
    }
    return outcome;
  };
  return {
    publish: (id, options) => traces.span('publish', {}, () => publish(id, options)),
    unpublish: (id) => traces.span('withdraw', {}, () => publisher.unpublish(id)),
  };
}

/** The caller's trace is not passed on: CKAN is asked once for all who wait. */
export function tracedCkan(traces: Traces, ckan: Ckan): Ckan {
  const asking = async (question: Parameters<Ckan['ask']>[0]): ReturnType<Ckan['ask']> => {
    const answer = await ckan.ask(question);
    const fault = answer.kind === 'unavailable' ? answer.reason : undefined;
    traces.note({ 'http.response.status_code': answer.status === 0 ? undefined : answer.status }, fault);
    return answer;
  };
  return {
    ask: (question) =>
      traces.span(
        `CKAN ${question.action}`,
        { 'http.request.method': question.method },
        () => asking(question),
        {
          kind: 'client',
        },
      ),
    close: ckan.close,
  };
}
