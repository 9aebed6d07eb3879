/**
 * Flags over environment over configuration file over defaults: what the relay is to do.
 */
import { HoldfastError } from '../../errors.ts';
import type { HoldfastConfig, SubscriptionConfig } from '../../operations/config.ts';
import { resolveSubscription, type SubscriptionOptions } from '../../relay/subscription/options.ts';
import { didYouMean } from '../../runtime/options.ts';
import type { Given } from './options.ts';
import { signingOf } from './secret-keys.ts';
import type { Transports } from './transports.ts';

export interface RelaySettings {
  readonly subscriptions: readonly SubscriptionOptions[];
}

export interface RelayInputs {
  readonly given: Given;
  readonly config: HoldfastConfig;
  readonly transports: Transports;
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** Everything is checked here, before anything is opened. Throws HF_CONFIG, HF_OPTION_UNKNOWN or HF_DURATION. */
export function resolveRelay({ given, config, transports, env }: RelayInputs): RelaySettings {
  const signing = signingOf(config, env);
  const subscriptions = chosen(declared(given, config), given, config).map((subscription): SubscriptionOptions => {
    const { transport: own, ...options } = {
      ...(signing === undefined ? {} : { signing }),
      ...subscription,
      ...overrides(given),
    };
    const wanted = given.transport ?? own ?? config.transport ?? null;
    const settled = { ...options, transport: transports.find(wanted, `subscription '${subscription.name}'`) };
    resolveSubscription(settled);
    return settled;
  });
  return { subscriptions };
}

function declared(given: Given, config: HoldfastConfig): readonly SubscriptionConfig[] {
  if (config.subscriptions !== undefined && config.subscriptions.length > 0) {
    if (given.route !== undefined) {
      throw new HoldfastError(
        'HF_CONFIG',
        'Routes are given, but the configuration file has subscriptions with routes of their own.',
        {
          advice: 'Change them there, or leave out --route and HOLDFAST_ROUTES.',
        },
      );
    }
    return config.subscriptions;
  }
  const routes = given.route ?? config.routes ?? [];
  if (routes.length === 0) {
    throw new HoldfastError('HF_CONFIG', 'There is no route, so the relay would publish nothing.', {
      advice: "Say which topics go to which queue: --route 'order.**=shipping', or routes in holdfast.config.ts.",
    });
  }
  const [name = 'main', ...more] = given.subscription ?? [];
  if (more.length > 0) {
    throw new HoldfastError('HF_CONFIG', 'Several subscriptions are named, but --route makes one.', {
      advice: 'Declare them in holdfast.config.ts, or start a relay for each.',
    });
  }
  return [{ name, routes }];
}

/** With a configuration file, --subscription picks. */
function chosen(
  subscriptions: readonly SubscriptionConfig[],
  given: Given,
  config: HoldfastConfig,
): readonly SubscriptionConfig[] {
  if (given.subscription === undefined || config.subscriptions === undefined) return subscriptions;
  return given.subscription.map((name) => {
    const found = subscriptions.find((each) => each.name === name);
    if (found !== undefined) return found;
    const names = subscriptions.map((each) => each.name);
    const near = didYouMean(name, names);
    throw new HoldfastError('HF_CONFIG', `The configuration has no subscription '${name}'.`, {
      advice: near === undefined ? `It has: ${names.join(', ')}.` : `Did you mean '${near}'?`,
    });
  });
}

const OVERRIDES = [
  'from',
  'shards',
  'batchSize',
  'lease',
  'publishTimeout',
  'idlePoll',
  'retention',
  'onRefused',
  'failoverReplay',
] as const;

/** Flags and variables apply to every subscription. */
function overrides(given: Given): Partial<SubscriptionConfig> {
  return Object.fromEntries(OVERRIDES.flatMap((name) => (given[name] === undefined ? [] : [[name, given[name]]])));
}
