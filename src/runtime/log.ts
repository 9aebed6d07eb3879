/**
 * Structured logs. Everything that logs takes a Logger; pino satisfies it as it is. The command line makes one with
 * createLogger (pino-logger.ts); as a library Holdfast is silent unless given one.
 */

/** What Holdfast needs of a logger. Fields first, then the message, as pino has it. An error goes into the field `err`. */
export interface Logger {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
  /** A logger that adds `fields` to every line. */
  child(fields: object): Logger;
}

const nothing = (): void => undefined;

export const silentLogger: Logger = {
  debug: nothing,
  info: nothing,
  warn: nothing,
  error: nothing,
  child: () => silentLogger,
};
