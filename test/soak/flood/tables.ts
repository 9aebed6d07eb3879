/**
 * The tables of the flood. A writer raises the number of a stream and writes the message in one transaction, so the number is the message's
 * place in the commit order of its stream. What a handler does is a row of `seen`, without a constraint that keeps a second one out; the
 * judge takes the rows away as it counts them.
 */
import { FLOODS } from './messages.ts';

const STREAMS = FLOODS.flatMap(({ streams }) => streams);

/** In the database of the writers. */
export const FLOOD_TABLES = `
  CREATE TABLE counter (stream text PRIMARY KEY, n bigint NOT NULL) WITH (fillfactor = 50);
  INSERT INTO counter SELECT stream, 0 FROM unnest('{${STREAMS.join(',')}}'::text[]) AS stream`;

/** In the database of the consumers. */
export const SINK_TABLES = `
  CREATE TABLE seen (position bigint GENERATED ALWAYS AS IDENTITY, stream text NOT NULL, n bigint NOT NULL);
  CREATE TABLE mended (stream text NOT NULL, n bigint NOT NULL, PRIMARY KEY (stream, n));
  CREATE TABLE judged (what text PRIMARY KEY, state json NOT NULL)`;

/** In the database of the orders, beside the tables of the service. */
export const ORDER_TABLES = `
  CREATE SEQUENCE order_number;
  CREATE INDEX ON order_event (order_id);
  CREATE TABLE dropping (order_id text PRIMARY KEY, positions json NOT NULL);
  CREATE TABLE judged (what text PRIMARY KEY, state json NOT NULL)`;
