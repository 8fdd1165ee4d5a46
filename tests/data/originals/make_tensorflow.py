"""Write the TensorFlow and TensorFlow Lite files here: python make_tensorflow.py, with tensorflow 2.21."""

from pathlib import Path

import tensorflow as tf
from network import BIAS, KERNEL, MATRIX
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

HERE = Path(__file__).parent
IMAGE = tf.TensorSpec([1, 8, 6, 3], tf.float32, name="image")


@tf.function(input_signature=[IMAGE])
def network(image):
    above = tf.nn.relu(tf.nn.conv2d(image, KERNEL.transpose(2, 3, 1, 0), 1, "SAME") + BIAS)
    prob = tf.nn.softmax(tf.matmul(tf.reduce_mean(above, [1, 2]), MATRIX), name="prob")
    return prob, tf.add(above, 1.0, name="shifted")


@tf.function(input_signature=[IMAGE])
def rare(image):
    return tf.raw_ops.Igamma(a=image, x=tf.math.betainc(image, image, image))


def write(name, function):
    concrete = function.get_concrete_function()
    graph = convert_variables_to_constants_v2(concrete).graph.as_graph_def()
    (HERE / f"{name}.pb").write_bytes(graph.SerializeToString())
    converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete])
    # What TensorFlow Lite does not have becomes a custom operator.
    converter.allow_custom_ops = True
    (HERE / f"{name}.tflite").write_bytes(converter.convert())


write("network", network)
write("rare", rare)
