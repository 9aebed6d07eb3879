/**
 * What the runner of jobs needs of a kind of acts: to find what is next, and to act on that, both in the transaction of a chunk.
 */
import type { ClientBase } from 'pg';
import type { JobExample, JobPosition, JobSummary } from './job.ts';

/** One that the job is for. */
export interface Picked {
  readonly subject: string;
  readonly position: JobPosition;
}

export interface Chunk {
  readonly schema: string;
  /** Id of the job: only what was there when it was started. */
  readonly job: string;
  /** The last one that was dealt with. */
  readonly position: JobPosition | null;
  /** Those of these that are there and fit, wherever they stand; all of one part and place. Null: whatever is behind `position`. */
  readonly only: readonly JobPosition[] | null;
  readonly limit: number;
}

/** What became of them. */
export interface ActedOn {
  readonly done: number;
  /** They are as they were. */
  readonly passedOver: readonly JobExample[];
}

export interface JobWork<P extends Picked = Picked> {
  /** In the order of their positions; none: the job is done. */
  pick(client: ClientBase, chunk: Chunk): Promise<readonly P[]>;
  /** Writes its rows of the audit as well. */
  act(
    client: ClientBase,
    schema: string,
    what: { readonly job: JobSummary; readonly picked: readonly P[] },
  ): Promise<ActedOn>;
}
