import type { Log } from '../../log.ts'
import type { Shared, SharedStoreOptions } from '../shared.ts'
export declare function openShared(options: SharedStoreOptions, log: Log): Shared
