"""The deployment room: ModelVersion -> Release. Here stands the gate between challenger and champion."""
