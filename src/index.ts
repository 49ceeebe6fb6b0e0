/** catflap as a library: start a forward proxy from code, act on its traffic, choose where sessions are kept. */

export { CatflapError, ERROR_TABLE, type ErrorCode } from './errors.ts'
export { createLog, type Log, type LogFacts, type LogLevel, type LogOptions } from './log.ts'
export { Message, type MessageKind } from './protocol/message.ts'
export type { Era } from './protocol/versions.ts'
export type { ClientFacts } from './proxy/client.ts'
export type { Exchange } from './proxy/exchange.ts'
export {
  createForward,
  type Forward,
  type ForwardOptions,
  type ForwardStats,
  type HttpListen,
  type RecordOptions,
  type StdioListen
} from './proxy/forward.ts'
export { type Answer, type Interceptor, type Outcome, type Place, Slot } from './proxy/interceptor.ts'
export type { MetricsOptions } from './proxy/metering.ts'
export { SETTINGS, type SettingName } from './proxy/options.ts'
export { createReverse, type Reloaded, type Reverse } from './proxy/reverse.ts'
export type {
  AccessLogOptions,
  AdminOptions,
  CommandRoute,
  HeaderRules,
  HealthCheck,
  HealthOptions,
  ListenerOptions,
  ListenerTls,
  ReverseMetrics,
  ReverseOptions,
  RouteOptions,
  SessionLoss
} from './proxy/reverse-options.ts'
export type { StdioEnd } from './proxy/serve-stdio.ts'
export type { CommandTarget, TargetOptions, UrlTarget } from './proxy/target.ts'
export type { FaultKind, FaultRule } from './replay/faults.ts'
export type { MissServer, ReplayOptions, TapeTargetOptions } from './replay/options.ts'
export { type ReadRecordingOptions, type Recording, readRecording } from './replay/recording.ts'
export type { ReplayFinding, ReplaySummary } from './replay/report.ts'
export { DEFAULT_RULES, type Rules, RulesError, readRules } from './replay/rules.ts'
export { type UsedTape, type UseTapeOptions, useTape } from './replay/use-tape.ts'
export { MemorySessionStore, type MemoryStoreOptions } from './session/memory-store.ts'
export type { Session } from './session/session.ts'
export type { ClusterOptions, SharedStoreOptions, StoreFailure } from './session/shared.ts'
export type {
  Awaitable,
  NewSession,
  SessionChange,
  SessionLeg,
  SessionPage,
  SessionRecord,
  SessionStore,
  UpdateResult
} from './session/store.ts'
export type { Direction } from './tape/frame.ts'
export type { ExchangeKind, ReplyHead } from './transport/upstream.ts'
export type { Drift, DriftChange } from './verify/drift.ts'
export { type VerifyOptions, VerifyRefusal } from './verify/options.ts'
export type {
  BindingReport,
  FoundDifference,
  RequestReport,
  SessionReport,
  VerifyReport
} from './verify/report.ts'
export { verify } from './verify/verify.ts'
