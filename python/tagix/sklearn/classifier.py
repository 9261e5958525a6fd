class TagiClassifier: pass
