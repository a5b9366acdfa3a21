/** One operation on one socket, as far as handing it messages goes. */
import type { ExecutionArgs } from 'graphql';

/** A socket that messages are written to. */
export interface Wire {
  /** Messages still reach the client. */
  readonly open: boolean;
  /** Bytes that wait in this process for the client to read. */
  readonly bufferedBytes: number;
  write(message: string): void;
  /** Writes several messages in one go. */
  writeAll(messages: readonly string[]): void;
  /** Writes messages that are WebSocket frames already. False where they still wait: the bytes must stay as they are. */
  writeFrames(frames: Buffer): boolean;
  /** More may be written now: what waits is little. */
  readonly hasRoom: boolean;
  /** Resolves when there is room again, or the socket is closed. */
  room(): Promise<void>;
  /** Says goodbye; a client that does not answer within a second is cut off. */
  close(code: number, reason: string): void;
}

export interface Seat {
  readonly wire: Wire;
  /** The operation's id on its socket. */
  readonly id: string;
  /**
   * Equal for operations whose answers are the same: document, operation name, access, and the variables but those that
   * make no difference.
   */
  key(without: ReadonlySet<string>): string;
  /** A fresh context of this viewer: what it caches is right for one event, not for hours. */
  context(): unknown;
}

export interface SeatedArgs extends ExecutionArgs {
  readonly seat: Seat;
}
