"""EchoSegnet (Sokolov, Bhosale & Zhu 2024), the reference method, written from its published facts."""
