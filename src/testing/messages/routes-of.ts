/**
 * Where the messages of a test go, unless it says so: to each consumer those that it has handlers for.
 */
import { handlerList } from '../../inbox/consumer-options.ts';
import type { Route } from '../../relay/subscription/routes.ts';
import { handleFor } from '../../saga/participant/handle.ts';
import type { CommonMessageTestOptions } from './message-test-options.ts';

export function routesOf({ consumers = {}, participants = {}, routes }: CommonMessageTestOptions): readonly Route[] {
  if (routes !== undefined) return routes;
  const topics = (handlers: readonly { readonly topic: string }[]): readonly string[] =>
    handlers.map(({ topic }) => topic);
  const all = [
    ...Object.entries(consumers).map(([name, given]) => ({ name, given, topics: topics(handlerList(given.handlers)) })),
    ...Object.entries(participants).map(([name, given]) => ({
      name,
      given,
      topics: topics(typeof given.handlers === 'function' ? given.handlers(handleFor<never>()) : given.handlers),
    })),
  ];
  return all.flatMap((each) =>
    each.topics.length === 0
      ? []
      : [{ topics: each.topics, to: each.given.destination ?? each.name, ordered: each.given.ordered ?? false }],
  );
}
