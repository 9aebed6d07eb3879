/**
 * The operations that `import 'holdfast'` offers: the functions of the modules beside this one, each loaded with its first call. They bring
 * a builder of queries, which a service that only sends, handles and runs sagas has no use for. The command line, of which each verb is
 * loaded by itself, imports the modules.
 */
import type * as findRun from './sagas/find-run.ts';
import type * as interventions from './parked/interventions.ts';
import type * as relay from './relay/relay-status.ts';
import type * as replays from './relay/replays.ts';
import type * as bulk from './sagas/saga-bulk.ts';
import type * as sagaActs from './sagas/saga-interventions.ts';
import type * as sagas from './sagas/sagas.ts';

/**
 * Makes failed parked messages due now, dead letters included; relays and consumers take them up within a second or so, each key in
 * order. Without `subscription` or `consumer`: wherever they are parked.
 * Rejects with HF_CONFIG for a selection that says nothing or too much, and with HF_NOT_FOUND when nothing fits.
 */
export const retryParked: typeof interventions.retryParked = async (...given) =>
  (await import('./parked/interventions.ts')).retryParked(...given);

/**
 * Gives a parked message up for good: it will not be published, or not be handled. What waited behind it goes on. The reason is required.
 * Rejects with HF_CONFIG when it is parked in several places and the selection does not say which, and with HF_NOT_FOUND.
 */
export const discardParked: typeof interventions.discardParked = async (...given) =>
  (await import('./parked/interventions.ts')).discardParked(...given);

/**
 * Removes a subscription and gives up what it has not delivered. The reason is required. Rejects with HF_SUBSCRIPTION_UNKNOWN,
 * HF_SUBSCRIPTION_HELD, and HF_CONFIG when it has parked messages and `discardParked` is not set.
 */
export const dropSubscription: typeof interventions.dropSubscription = async (...given) =>
  (await import('./parked/interventions.ts')).dropSubscription(...given);

/**
 * Lag, rate, leases, parked messages and replays, read from the database alone: it answers whether or not a relay runs. Cheap enough to be
 * asked every second. Rejects with HF_SCHEMA_MISSING, HF_DATABASE_UNAVAILABLE or HF_PERMISSION.
 */
export const relayStatus: typeof relay.relayStatus = async (...given) =>
  (await import('./relay/relay-status.ts')).relayStatus(...given);

/**
 * Asks the relays of the subscription for a replay; they work it off between live messages, and the id travels with each message as
 * `replayid`. Rejects with HF_SUBSCRIPTION_UNKNOWN, with HF_NOT_FOUND when no message fits, or none that the subscription has a route
 * for, and with HF_CONFIG for options that are not usable.
 */
export const requestReplay: typeof replays.requestReplay = async (...given) =>
  (await import('./relay/replays.ts')).requestReplay(...given);

/**
 * The id of the run that an id or a key names. A key that looks like an id finds its run when no run has that id.
 * Rejects with HF_NOT_FOUND, and with HF_CONFIG when runs of several sagas have the key and `saga` does not choose.
 *
 * @example
 * const id = await findRunId(database, 'o-1', 'place-order');
 */
export const findRunId: typeof findRun.findRunId = async (...given) =>
  (await import('./sagas/find-run.ts')).findRunId(...given);

/** Newest first, by id. Rejects with HF_CONFIG or HF_OPTION_UNKNOWN for a filter that is not usable. */
export const listRuns: typeof sagas.listRuns = async (...given) =>
  (await import('./sagas/sagas.ts')).listRuns(...given);

/** Everything known about one run. Rejects with HF_NOT_FOUND, and with HF_CONFIG for what is no id. */
export const showRun: typeof sagas.showRun = async (...given) => (await import('./sagas/sagas.ts')).showRun(...given);

/**
 * Has a stuck run tried again where it stopped, with all its attempts anew. Rejects with HF_NOT_FOUND and HF_SAGA_NOT_STUCK.
 */
export const retryRun: typeof sagaActs.retryRun = async (...given) =>
  (await import('./sagas/saga-interventions.ts')).retryRun(...given);

/**
 * Has the compensation that a run is stuck at left out: what the call did stays. `call`: null for whatever it is stuck at. Rejects with
 * HF_NOT_FOUND, with HF_SAGA_NOT_STUCK also when it is stuck elsewhere, and with HF_CONFIG without a reason.
 */
export const skipCall: typeof sagaActs.skipCall = async (...given) =>
  (await import('./sagas/saga-interventions.ts')).skipCall(...given);

/**
 * Settles by hand what a run is stuck at. The reason is required. Rejects with HF_NOT_FOUND, with HF_SAGA_NOT_STUCK also when it is stuck
 * elsewhere, with HF_PAYLOAD_NOT_JSON, and with HF_CONFIG without a reason and for what makes no sense there.
 */
export const resolveCall: typeof sagaActs.resolveCall = async (...given) =>
  (await import('./sagas/saga-interventions.ts')).resolveCall(...given);

/**
 * Has a run undone. One that is being undone already is left as it is.
 * Rejects with HF_NOT_FOUND, HF_SAGA_FINISHED and HF_SAGA_PIVOTED.
 */
export const cancelRun: typeof sagaActs.cancelRun = async (...given) =>
  (await import('./sagas/saga-interventions.ts')).cancelRun(...given);

/**
 * Sends a signal. Without the saga's definition it goes unchecked.
 * Rejects with HF_NOT_FOUND, HF_SAGA_FINISHED, HF_SAGA_UNDONE, HF_SIGNAL_UNKNOWN, HF_PAYLOAD_INVALID and HF_PAYLOAD_NOT_JSON.
 */
export const signalRun: typeof sagaActs.signalRun = async (...given) =>
  (await import('./sagas/saga-interventions.ts')).signalRun(...given);

/**
 * What the act would meet now. Changes nothing. Rejects with HF_CONFIG or HF_OPTION_UNKNOWN for a selection that cannot be used.
 */
export const planBulk: typeof bulk.planBulk = async (...given) =>
  (await import('./sagas/saga-bulk.ts')).planBulk(...given);

/**
 * Acts on each run that matches, oldest first, each once: on those that match when it comes to them and were there when it began.
 * What is refused for its state (it went on, it ended) is passed over. Any other failure ends it; calling it again does the rest.
 */
export const actOnRuns: typeof bulk.actOnRuns = async (...given) =>
  (await import('./sagas/saga-bulk.ts')).actOnRuns(...given);
