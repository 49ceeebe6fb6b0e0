import { testCrossings } from './cells.ts'

testCrossings(['streamable-http', 'sse'])
