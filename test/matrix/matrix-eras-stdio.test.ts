import { testCrossings } from './cells.ts'

testCrossings(['stdio'])
