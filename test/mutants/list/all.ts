/**
 * All planted mistakes. A new line that safety rests on comes with one.
 */
import type { Mutant } from '../mutant.ts';
import { ADAPTERS } from './adapters.ts';
import { DASHBOARD_DOORS } from './dashboard-doors.ts';
import { DASHBOARD_RIGHTS } from './dashboard-rights.ts';
import { DOORS } from './doors.ts';
import { FROZEN } from './frozen.ts';
import { INBOX_BESIDE } from './inbox-beside.ts';
import { INBOX_CUT } from './inbox-cut.ts';
import { INBOX_DECIDE } from './inbox-decide.ts';
import { INBOX_STORES } from './inbox-stores.ts';
import { INBOX_WORK } from './inbox-work.ts';
import { MESSAGE } from './message.ts';
import { MESSAGE_VALUES } from './message-values.ts';
import { OPERATIONS_ALERTS } from './operations-alerts.ts';
import { OPERATIONS_IMPORT } from './operations-import.ts';
import { OPERATIONS_JOBS } from './operations-jobs.ts';
import { OPERATIONS_READS } from './operations-reads.ts';
import { OUTBOX } from './outbox.ts';
import { POSTGRES } from './postgres.ts';
import { POSTGRES_BESIDE } from './postgres-beside.ts';
import { RELAY } from './relay.ts';
import { RELAY_LOG } from './relay-log.ts';
import { RELAY_RULES } from './relay-rules.ts';
import { RELAY_STORES } from './relay-stores.ts';
import { RELAY_SUSPICION } from './relay-suspicion.ts';
import { RUNTIME } from './runtime.ts';
import { SAGA_ANSWERS } from './saga-answers.ts';
import { SAGA_DOUBT } from './saga-doubt.ts';
import { SAGA_ENGINE } from './saga-engine.ts';
import { SAGA_FORWARD } from './saga-forward.ts';
import { SAGA_JOURNAL } from './saga-journal.ts';
import { SAGA_LAPSES } from './saga-lapses.ts';
import { SAGA_OUTCOMES } from './saga-outcomes.ts';
import { SAGA_PARTICIPANTS } from './saga-participants.ts';
import { SAGA_QUEUE } from './saga-queue.ts';
import { SAGA_REPLAY } from './saga-replay.ts';
import { SAGA_ROWS } from './saga-rows.ts';
import { SAGA_RUN } from './saga-run.ts';
import { SAGA_STORE } from './saga-store.ts';
import { SAGA_TAKEN_UP } from './saga-taken-up.ts';
import { SAGA_WAY_BACK } from './saga-way-back.ts';
import { SAGA_WORKER } from './saga-worker.ts';
import { SECRETS } from './secrets.ts';
import { SECRETS_VALUES } from './secrets-values.ts';
import { TRANSPORT } from './transport.ts';
import { TRANSPORT_BROKERS } from './transport-brokers.ts';
import { TRANSPORT_ENDPOINTS } from './transport-endpoints.ts';
import { TRANSPORT_NATS } from './transport-nats.ts';
import { TRANSPORT_STREAMS } from './transport-streams.ts';
import { TRANSPORT_WEBHOOKS } from './transport-webhooks.ts';

export const MUTANTS: readonly Mutant[] = [
  ...ADAPTERS,
  ...DASHBOARD_DOORS,
  ...DASHBOARD_RIGHTS,
  ...DOORS,
  ...FROZEN,
  ...INBOX_BESIDE,
  ...INBOX_CUT,
  ...INBOX_DECIDE,
  ...INBOX_STORES,
  ...INBOX_WORK,
  ...MESSAGE,
  ...MESSAGE_VALUES,
  ...OPERATIONS_ALERTS,
  ...OPERATIONS_IMPORT,
  ...OPERATIONS_JOBS,
  ...OPERATIONS_READS,
  ...OUTBOX,
  ...POSTGRES,
  ...POSTGRES_BESIDE,
  ...RELAY,
  ...RELAY_LOG,
  ...RELAY_RULES,
  ...RELAY_STORES,
  ...RELAY_SUSPICION,
  ...RUNTIME,
  ...SAGA_ANSWERS,
  ...SAGA_DOUBT,
  ...SAGA_ENGINE,
  ...SAGA_FORWARD,
  ...SAGA_JOURNAL,
  ...SAGA_LAPSES,
  ...SAGA_OUTCOMES,
  ...SAGA_PARTICIPANTS,
  ...SAGA_QUEUE,
  ...SAGA_REPLAY,
  ...SAGA_ROWS,
  ...SAGA_RUN,
  ...SAGA_STORE,
  ...SAGA_TAKEN_UP,
  ...SAGA_WAY_BACK,
  ...SAGA_WORKER,
  ...SECRETS,
  ...SECRETS_VALUES,
  ...TRANSPORT,
  ...TRANSPORT_BROKERS,
  ...TRANSPORT_ENDPOINTS,
  ...TRANSPORT_NATS,
  ...TRANSPORT_STREAMS,
  ...TRANSPORT_WEBHOOKS,
];
