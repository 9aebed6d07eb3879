/**
 * What is said of a check of the doctor, once for all that it finds.
 */

/** The texts are Markdown. */
export interface CheckNotes {
  /** At which it tells of something; see Finding. */
  readonly levels: readonly ('error' | 'warn' | 'note')[];
  readonly finds: string;
  readonly why: string;
  readonly mend: string;
}
